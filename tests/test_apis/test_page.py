"""The page in a browser without a window and without a network."""

import json
import shutil
import socket
import sys

import pytest

from helpers.own_people import JOINTS
from prtr_plugin.apis import load_run, make_page, serve_page

PROGRAMS = ('chromium', 'chromedriver')


def free_port():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        return taken.getsockname()[1]


@pytest.fixture
def browser():
    webdriver = pytest.importorskip('selenium.webdriver')
    paths = [shutil.which(program) for program in PROGRAMS]
    if None in paths:
        pytest.skip(f'needs {" and ".join(PROGRAMS)}')
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for name in ('headless=new', 'no-sandbox', 'disable-dev-shm-usage', 'window-size=1200,1400'):
        options.add_argument(f'--{name}')
    # nothing else can be reached
    options.add_argument('--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1')
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL'})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


def wait_for(driver, look, seconds=60):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, seconds).until(lambda _: look())


def requests(driver):
    """Addresses that the page asked for."""
    messages = (json.loads(entry['message'])['message'] for entry in driver.get_log('performance'))
    urls = [m['params']['request']['url'] for m in messages if m['method'].endswith('BeSent')]
    return [url for url in urls if not url.startswith(('data:', 'blob:'))]


@pytest.mark.slow
def test_upload(own_run, own_people, run_prtr, browser, monkeypatch, tmp_path):
    gradio = pytest.importorskip('gradio')
    good = sorted((own_people / 'images').iterdir())[0]
    bad = tmp_path / 'bad.jpg'
    bad.write_text('no picture')
    port = free_port()

    def find(css):
        return browser.find_elements('css selector', css)

    def result():
        return find('textarea')[0].get_property('value')

    def text():
        return ' '.join(find('body')[0].text.split())

    def look(page):
        """What somebody does while the command waits."""
        monkeypatch.undo()
        browser.get(page.local_url)
        wait_for(browser, lambda: find('input[type=file]'))[0].send_keys(str(bad))
        wait_for(browser, lambda: 'cannot be read as an image' in result())
        assert 'bad.jpg' in result() and JOINTS[1] not in text() and 'Traceback' not in text()
        find('[aria-label=Clear]')[0].click()
        wait_for(browser, lambda: find('input[type=file]'))[0].send_keys(str(good))
        wait_for(browser, lambda: find('img[src*="/file="]'))
        (drawn,) = find('img[src*="/file="]')
        wait_for(browser, lambda: int(drawn.get_attribute('naturalWidth')) > 0)
        assert result() == f'1 person in {good.name}'
        for word in ('person', 'score', *JOINTS):
            assert word in text(), word
        browser.save_screenshot(str(tmp_path / 'page.png'))
        urls = requests(browser)
        assert urls and all(url.startswith(page.local_url) for url in urls), urls
        page.close()

    monkeypatch.setattr(gradio.Interface, 'block_thread', look)
    done = run_prtr('page', own_run, f'port={port}', 'device=cpu')
    assert done.exit_code == 0, done.output
    assert f'http://127.0.0.1:{port}/' in done.output


def test_where_no_page_can_be_shown():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        for host, number in (('127.0.0.1', port), ('127.0.0.1', 70000), ('192.0.2.1', None)):
            with pytest.raises(OSError, match=f'cannot be shown at {host}, port {number or "any"}'):
                serve_page(None, host, number)


def test_without_gradio(own_run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ImportError, match=r'pip install prtr_plugin\[demo\]'):
        make_page(load_run(own_run, device='cpu'))
