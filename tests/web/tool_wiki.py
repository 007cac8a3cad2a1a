"""A real application, DokuWiki from Debian's package, behind nginx, slots and PHP-FPM, unchanged, used in a real browser."""
import glob
import os
import re
import shutil
import subprocess
import unittest

from nodes import TIMEOUT
from web import WebTest

WIKI = "/usr/share/dokuwiki"
# Runs under Debian's own Python, which has its Selenium.
BROWSER = r"""
import sys
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait
options = webdriver.ChromeOptions()
for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--user-data-dir=" + sys.argv[3]):
    options.add_argument(argument)
driver = webdriver.Chrome(service=webdriver.chrome.service.Service("/usr/bin/chromedriver"), options=options)
try:
    wait = WebDriverWait(driver, 60)
    driver.get(sys.argv[1] + "doku.php?id=slots&do=edit")
    text = wait.until(expected.element_to_be_clickable((By.ID, "wiki__text")))
    text.clear()
    text.send_keys("====== Slots ======\n" + sys.argv[2])
    driver.find_element(By.ID, "edbtn__save").click()
    wait.until(expected.text_to_be_present_in_element((By.CSS_SELECTOR, "#dokuwiki__content .page"), sys.argv[2]))
    # Found again by the wiki's own search, which answers from its index, and by a script in the page.
    driver.get(sys.argv[1] + "doku.php?do=search&q=" + sys.argv[2].split()[0])
    wait.until(expected.presence_of_element_located((By.PARTIAL_LINK_TEXT, "slots")))
    missing = driver.execute_script("return Array.from(document.images).filter((i) => !i.complete || i.naturalWidth === 0).length")
    styled = driver.execute_script("return document.styleSheets.length")
    print("saved", missing, styled, driver.execute_script("return typeof jQuery"))
finally:
    driver.quit()
"""


class Wiki(WebTest):
    def start_wiki(self):
        """PHP-FPM with a private copy of the wiki's configuration and data, behind a bridge on node right."""
        php = sorted(glob.glob("/usr/sbin/php-fpm8*"))
        if not php or not os.path.isdir(WIKI):
            self.skipTest("PHP-FPM or DokuWiki is not installed: see scripts/install-deps")
        root = os.geteuid() == 0
        user = "www-data" if root else ""
        home = os.path.join(self.directory, "wiki")
        os.mkdir(home)
        conf, data = os.path.join(home, "conf"), os.path.join(home, "data")
        # Links of the package to lists of users are followed where they lead somewhere.
        shutil.copytree("/etc/dokuwiki", conf, symlinks=False, ignore_dangling_symlinks=True)
        shutil.copytree("/var/lib/dokuwiki/data", data, symlinks=False, ignore_dangling_symlinks=True)
        with open(os.path.join(conf, "local.php"), "w") as file:
            file.write(f"<?php\n$conf['savedir'] = '{data}';\n$conf['useacl'] = 0;\n$conf['title'] = 'Slots';\n")
        with open(os.path.join(home, "prepend.php"), "w") as file:
            file.write(f"<?php\ndefine('DOKU_CONF', '{conf}/');\ndefine('DOKU_MAIN_CONF', '{conf}/');\n")
        if root:
            subprocess.run(["chown", "-R", user, home], check=True)
        socket, config = os.path.join(home, "fpm.sock"), os.path.join(home, "fpm.conf")
        with open(config, "w") as file:
            file.write(f"[global]\nerror_log = {home}/fpm.log\ndaemonize = no\n[wiki]\nlisten = {socket}\n"
                       + (f"user = {user}\ngroup = {user}\n" if root else "") +
                       f"pm = static\npm.max_children = 4\nphp_admin_value[auto_prepend_file] = {home}/prepend.php\n"
                       f"php_admin_value[session.save_path] = {data}/tmp\n")
        self.start([php[-1], "-F", "-y", config])
        while not os.path.exists(socket):
            pass
        bridge = self.start(["web", "serve", "web", "--fastcgi", socket, "--root", WIKI, "--at-once", "4"], self.right)
        bridge.wait_for("'web'")
        return bridge

    def test_it_is_used_in_a_browser(self):
        chromedriver = shutil.which("chromedriver")
        if chromedriver is None or subprocess.run(["/usr/bin/python3", "-c", "import selenium"], capture_output=True, check=False).returncode:
            self.skipTest("chromium-driver or python3-selenium is not installed: see scripts/install-deps")
        bridge = self.start_wiki()
        nginx = self.nginx("try_files $uri $uri/ =404;", server=f"root {WIKI}; index doku.php; "
                           "location ~ \\.php$ { slotwire_pass web; }")
        profile = os.path.join(self.directory, "profile")
        shown = subprocess.run(["/usr/bin/python3", "-c", BROWSER, f"http://{nginx.address}:{nginx.port}/", "carried unchanged", profile],
                               capture_output=True, text=True, timeout=4 * TIMEOUT, check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr[-3000:] + nginx.log()[-2000:] + bridge.output()[-2000:])
        saved = re.search(r"saved (\d+) (\d+) (\S+)", shown.stdout)
        self.assertEqual((saved[1], saved[3]), ("0", "function"), shown.stdout)
        self.assertGreaterEqual(int(saved[2]), 1)
        # What was saved is what PHP reads, and it came through the bridge.
        status, _, body = self.get(nginx, "/doku.php?id=slots&do=export_raw")[:3]
        self.assertEqual(status, 200)
        self.assertIn(b"carried unchanged", body)
        self.assertGreater(bridge.count("doku.php"), 3)


if __name__ == "__main__":
    unittest.main()
