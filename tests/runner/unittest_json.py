"""unittest_json.py FILE RESULT - runs the unittest cases of one file and writes their counts as JSON.

The text for people goes to standard output as with `python3 -m unittest -v`. A subtest that fails counts as a
failure of its own; a test whose subtests all pass counts once.
"""

import importlib.util
import json
import os
import sys
import unittest


class Counting(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def load(path):
    for folder in (os.path.dirname(path), os.path.join(os.path.dirname(path), "..", "support")):
        sys.path.insert(0, os.path.abspath(folder))
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def main(path, result_path):
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Counting)
    result = runner.run(load(path))
    base = os.path.basename(path)
    failed = [(f"{base} {test}", text) for test, text in result.failures + result.errors]
    failed += [(f"{base} {test}", "passed, though marked as an expected failure") for test in result.unexpectedSuccesses]
    skipped = [(f"{base} {test}", reason) for test, reason in result.skipped]
    skipped += [(f"{base} {test}", "marked as an expected failure") for test, _ in result.expectedFailures]
    with open(result_path, "w") as file:
        json.dump({"passed": result.passed, "failed": failed, "skipped": skipped}, file)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: unittest_json.py FILE RESULT")
    sys.exit(main(sys.argv[1], sys.argv[2]))
