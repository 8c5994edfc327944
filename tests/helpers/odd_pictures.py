"""Picture files as users have them: odd, damaged, and not pictures at all."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# for test ids; write_odd_pictures writes exactly these
# fmt: off
GOOD = [
    'plain.jpg', 'progressive.jpg', 'exif_rotated.jpg', 'cmyk.jpg', 'grey.jpg',
    'trailing_bytes.jpg', 'thumbnail_inside.jpg', 'png_named.jpg', 'no_ending', 'UPPER.JPG',
    'spaces and ünïcode.jpg',
    'plain.png', '16bit.png', '1bit.png', 'grey16.png', 'grey_alpha.png', 'palette.png',
    'rgba.png', 'interlaced.png', 'plain.webp', 'plain.bmp', 'plain.tiff', 'symlink.jpg',
]
THIN = ['1x1.png', '1x5000.png', '5000x1.png']
BAD = [
    'empty.jpg', 'text.jpg', 'html.jpg', 'json.png', 'array.npy', 'zeros.jpg', 'noise.jpg',
    'soi_only.jpg', 'header_only.jpg', 'truncated.jpg', 'truncated_progressive.jpg',
    'truncated_after_thumbnail.jpg', 'zeros_at_end.jpg', 'header_only.png', 'truncated.png',
    'huge_header.png', 'zero_size.png', 'bad_checksum.png', 'truncated.webp', 'truncated.bmp',
    'truncated.tiff', 'float.tiff', 'drawing.svg', 'archive.jpg', 'pointer.jpg', 'pipe.jpg',
    'folder.jpg', 'broken_symlink.jpg', 'loop.jpg', 'missing.jpg',
]
# it depends on the version of cv2, and on the user, whether they can be read
UNCERTAIN = ['plain.gif', 'animated.gif', 'unreadable.jpg']
# fmt: on
NAMES = [*GOOD, *THIN, *BAD, *UNCERTAIN]


def write_odd_pictures(folder: Path) -> None:
    """Write all files of ``NAMES`` but ``missing.jpg``, which does not exist."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
    picture = Image.fromarray(smooth)

    def encode(image: Image.Image, kind: str, **kwargs) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **kwargs)
        return buffer.getvalue()

    jpeg, png = encode(picture, 'JPEG', quality=95), encode(picture, 'PNG')
    progressive = encode(picture, 'JPEG', quality=95, progressive=True)
    webp, bmp, tiff = (encode(picture, kind) for kind in ('WEBP', 'BMP', 'TIFF'))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    # a whole JPEG inside of an APP1 segment, as cameras write
    small = encode(picture.resize((8, 6)), 'JPEG')
    thumbnail = jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(small) + 2) + small + jpeg[2:]

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    def png_header(width: int, height: int) -> bytes:
        header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
        body = chunk(b'IDAT', zlib.compress(b'\0' * 100)) + chunk(b'IEND', b'')
        return png[:8] + header + body

    def cv2_encode(image: np.ndarray, ending: str) -> bytes:
        return cv2.imencode(ending, image)[1].tobytes()

    def npy(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, image)
        return buffer.getvalue()

    # Adam7 is beyond PIL and cv2: the passes of one pixel, filter 0
    interlaced_header = chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 2, 0, 0, 1))
    interlaced = png[:8] + interlaced_header + chunk(b'IDAT', zlib.compress(b'\0\x10\x20\x30'))
    frames = [Image.fromarray(smooth[..., ::step]) for step in (1, -1)]
    cut = len(jpeg) // 2
    contents = {
        'plain.jpg': jpeg,
        'progressive.jpg': progressive,
        'exif_rotated.jpg': encode(picture, 'JPEG', exif=exif),
        'cmyk.jpg': encode(picture.convert('CMYK'), 'JPEG'),
        'grey.jpg': encode(picture.convert('L'), 'JPEG'),
        'trailing_bytes.jpg': jpeg + b'more of a phone',
        'thumbnail_inside.jpg': thumbnail,
        'png_named.jpg': png,
        'no_ending': png,
        'UPPER.JPG': jpeg,
        'spaces and ünïcode.jpg': jpeg,
        'plain.png': png,
        '16bit.png': cv2_encode(smooth[..., ::-1].astype(np.uint16) * 257, '.png'),
        '1bit.png': encode(picture.convert('1'), 'PNG'),
        'grey16.png': cv2_encode(smooth[..., 0].astype(np.uint16) * 257, '.png'),
        'grey_alpha.png': encode(picture.convert('LA'), 'PNG'),
        'palette.png': encode(picture.convert('P'), 'PNG'),
        'rgba.png': encode(picture.convert('RGBA'), 'PNG'),
        'interlaced.png': interlaced + chunk(b'IEND', b''),
        'plain.webp': webp,
        'plain.bmp': bmp,
        'plain.tiff': tiff,
        '1x1.png': encode(picture.resize((1, 1)), 'PNG'),
        '1x5000.png': encode(picture.resize((1, 5000)), 'PNG'),
        '5000x1.png': encode(picture.resize((5000, 1)), 'PNG'),
        'empty.jpg': b'',
        'text.jpg': b'no picture',
        'html.jpg': b'<!DOCTYPE html><title>404</title>',
        'json.png': b'{"error": 404}',
        'array.npy': npy(smooth),
        'zeros.jpg': bytes(1000),
        'noise.jpg': rng.bytes(1000),
        'soi_only.jpg': jpeg[:2],
        'header_only.jpg': jpeg[:20],
        'truncated.jpg': jpeg[:cut],
        'truncated_progressive.jpg': progressive[: len(progressive) // 2],
        'truncated_after_thumbnail.jpg': thumbnail[: len(small) + cut],
        'zeros_at_end.jpg': jpeg[:cut] + bytes(len(jpeg) - cut),
        'header_only.png': png[:33],
        'truncated.png': png[: len(png) // 2],
        'huge_header.png': png_header(100_000, 100_000),
        'zero_size.png': png_header(0, 48),
        'bad_checksum.png': png[:60] + bytes([png[60] ^ 255]) + png[61:],
        'truncated.webp': webp[: len(webp) // 2],
        'truncated.bmp': bmp[: len(bmp) // 2],
        'truncated.tiff': tiff[: len(tiff) // 2],
        'float.tiff': cv2_encode(np.float32(smooth) / 255, '.tiff'),
        'drawing.svg': b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        'archive.jpg': b'PK\x03\x04' + bytes(100),
        'pointer.jpg': b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n',
        'plain.gif': encode(picture, 'GIF'),
        'animated.gif': encode(frames[0], 'GIF', save_all=True, append_images=frames[1:]),
        'unreadable.jpg': jpeg,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / 'unreadable.jpg').chmod(0)
    (folder / 'symlink.jpg').symlink_to('plain.jpg')
    (folder / 'broken_symlink.jpg').symlink_to('missing.jpg')
    (folder / 'loop.jpg').symlink_to('loop.jpg')
    (folder / 'folder.jpg').mkdir()
    os.mkfifo(folder / 'pipe.jpg')


def check_odd_pictures(run: Callable[[Path], object], folder: Path, may_refuse=()) -> None:
    """Check that an entry point reads the files of ``NAMES``, or says why not.

    It gives a result, or one sentence with the name of the file: as the error
    that it raises, or as the message that it exits with.
    """
    wrong = {}
    for name in NAMES:
        try:
            message = run(folder / name)
            message = message if isinstance(message, str) else ''
        except (OSError, ValueError) as error:
            message = str(error)
        except Exception as error:  # what a user would see as a traceback
            wrong[name] = repr(error)
            continue
        refused = bool(message)
        if refused and (name not in message or len(message.splitlines()) > 1):
            wrong[name] = message
        elif refused if name in GOOD and name not in may_refuse else name in BAD and not refused:
            wrong[name] = message or 'was accepted'
    assert not wrong
