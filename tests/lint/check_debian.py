"""debian/ says what the project says elsewhere: its version, its licence."""

import re

import lintlib


def text_of(path):
    with open(path) as file:
        return file.read()


def words(text):
    """Without layout, and without the lone dots that stand for empty lines in debian/copyright."""
    return [word for word in text.split() if word != "."]


def main():
    version = re.search(r"version: '([^']+)'", text_of("meson.build"))[1]
    newest = re.match(r"drover \(([^)]+)\) ", text_of("debian/changelog"))
    if not newest or newest[1] != version:
        yield f"debian/changelog:1: begins with another version than meson.build has, {version}"
    _, _, licence = text_of("debian/copyright").rpartition("License: MIT\n")
    _, _, permission = text_of("LICENSE").partition("the drover authors\n")
    if words(licence) != words(permission):
        yield "debian/copyright: is not the text of LICENSE"


lintlib.finish(list(main()))
