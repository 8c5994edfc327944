"""Check annotation files: those of a config, or one in COCO's layout.

Training and testing do the same before they start. docs/datasets.md says what
a dataset must look like and what each message means.

Example:
    python tools/dataset_tools/check_annotations.py CONFIG
    python tools/dataset_tools/check_annotations.py mine.json --img-dir images \
        --metainfo configs/_base_/datasets/coco.py
"""

import argparse
import sys

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('path', help='config (.py) or annotation file (.json)')
    parser.add_argument(
        '--metainfo', help='of an annotation file: config file with the joints as dataset_info'
    )
    parser.add_argument('--img-dir', help='of an annotation file: folder of the pictures')
    parser.add_argument('--bbox-file', help='of an annotation file: boxes of a detector')
    parser.add_argument(
        '--no-pictures',
        dest='pictures',
        action='store_false',
        help='do not look for the pictures of a config: this may take long on network drives',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config: a.b=1, a=1,2 or a="[1,2]" without white space',
    )
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    # after the command line, so that --help is quick
    from prtr_plugin.apis import check_annotations
    from prtr_plugin.datasets import report

    try:
        findings = check_annotations(**vars(args))
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    for severity in ('error', 'warning'):
        for line in report(f for f in findings if f.severity == severity):
            print(f'{severity}: {line}')
    errors = sum(finding.severity == 'error' for finding in findings)
    print(f'{errors} errors, {len(findings) - errors} warnings')
    sys.exit(f'Error: {args.path} is not fit for a run.' if errors else 0)


if __name__ == '__main__':
    main()
