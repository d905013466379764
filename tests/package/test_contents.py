"""What is in the Debian package that ./dev deb made. lintian has looked at it already."""

import io
import os
import re
import subprocess
import tarfile
import tempfile
import unittest

import packaged
import rig

PROGRAMS = ("usr/bin/drover", "usr/sbin/droverd", "usr/libexec/drover/drover-worker", "usr/libexec/drover/drover-exec")


class Contents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="drover-", dir="/var/tmp")
        cls.addClassCleanup(folder.cleanup)
        cls.folder, cls.path = folder.name, packaged.package()
        archive = os.path.join(folder.name, "files.tar")
        with open(archive, "wb") as out:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", cls.path], stdout=out, check=True)
        with tarfile.open(archive) as tar:
            cls.members = {member.name.removeprefix("./"): member for member in tar.getmembers()}
            for name in PROGRAMS:
                tar.extract("./" + name, folder.name)

    def test_it_is_the_projects_version(self):
        with open(os.path.join(rig.ROOT, "meson.build")) as file:
            version = re.search(r"version: '([^']+)'", file.read())[1]
        self.assertEqual(version, packaged.field(self.path, "Version"))
        said = subprocess.run([os.path.join(self.folder, "usr/sbin/droverd"), "--version"], text=True, capture_output=True,
                              check=True).stdout
        self.assertEqual(f"droverd {version}\n", said)

    def test_everything_belongs_to_root_and_nothing_is_setuid(self):
        wrong = [name for name, member in self.members.items() if (member.uid, member.gid) != (0, 0) or member.mode & 0o7022]
        self.assertEqual([], [name for name in wrong if not self.members[name].issym()])

    def test_the_library_for_programs_in_c_is_a_package_of_its_own(self):
        listed = subprocess.run(["dpkg-deb", "--fsys-tarfile", packaged.package("libdrover-queue-dev")], stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(listed)) as tar:
            names = {member.name.removeprefix("./") for member in tar.getmembers() if member.isfile()}
        ends = ("usr/include/drover/queue.h", "/libdrover-queue.a", "/pkgconfig/drover-queue.pc", "man3/drover-queue.3.gz", "/examples/producer.c")
        for end in ends:
            self.assertEqual(1, sum(name.endswith(end) for name in names), end)
        self.assertEqual([], [name for name in self.members if name.startswith("usr/include") or name.endswith((".a", ".pc"))])
        self.assertEqual(set(), {name for name in names if name in self.members}, "no file is in both")

    def test_each_program_is_hardened(self):
        for name in PROGRAMS:
            with self.subTest(name):
                read = subprocess.run(["readelf", "--wide", "--file-header", "--dynamic", "--program-headers",
                                       os.path.join(self.folder, name)], text=True, capture_output=True, check=True).stdout
                self.assertRegex(read, r"Type: +DYN ", "position independent")
                self.assertRegex(read, r"FLAGS_1.*\bNOW\b.*\bPIE\b", "bound at its start")
                self.assertIn("GNU_RELRO", read)
                self.assertRegex(read, r"GNU_STACK.* RW +0x", "no executable stack")
        self.assertNotIn("NEEDED", read, "the last of them, drover-exec, is static")

    def test_an_operator_finds_what_he_looks_for(self):
        for pattern in ("lib/systemd/system/drover.service", "usr/lib/sysusers.d/drover.conf", "usr/share/man/man8/droverd.8.gz",
                        "usr/share/man/man5/drover.yaml.5.gz", "usr/share/doc/drover/README.Debian", "usr/share/doc/drover/README.md",
                        "usr/share/doc/drover/docs/operations.md", "usr/share/doc/drover/examples/first-queue.yaml",
                        "usr/share/doc/drover/examples/split/queues.d/mail.yaml", "usr/share/bash-completion/completions/drover",
                        "usr/share/zsh/vendor-completions/_drover"):
            self.assertIn(pattern, self.members)
        # A configuration is the operator's: one that is shipped would run queues that nobody asked for.
        self.assertEqual(["etc/", "etc/drover/"], sorted(name + "/" for name in self.members if name.startswith("etc")))
        # Debian's zsh does not look there.
        self.assertEqual([], [name for name in self.members if "zsh/site-functions" in name])

    def test_links_between_the_documents_work(self):
        folder = "usr/share/doc/drover"
        with open(os.path.join(rig.ROOT, "README.md")) as file:
            links = re.findall(r"\]\(((?!http)[^)#]+)", file.read())
        wanted = [f"{folder}/{link}" for link in links if link != "CONTRIBUTING.md"]  # that is for the tree of sources
        self.assertTrue(wanted)
        self.assertEqual([], [path for path in wanted if path not in self.members])

    def test_debug_symbols_are_a_package_of_their_own(self):
        name = os.path.basename(self.path).replace("drover_", "drover-dbgsym_")
        self.assertTrue(os.path.exists(os.path.join(packaged.DEB_FOLDER, name)))
