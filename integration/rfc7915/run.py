"""Puts every case on a translator, and says which fail.

`run.py --instance NAME --six ENI --four HOST SUITE` stands on the device of an ENI and on that of an
internet host of a running instance, by AF_PACKET, so that no kernel changes a byte.
`run.py --translator COMMAND SUITE` gives packets to a program by lines: a packet in hexadecimal digits, and
back as many lines as packets come out, and a line with a dot.
"""

import argparse
import importlib
import os
import sys

sys.dont_write_bytecode = True

import case

# Modules with cases, and the IPv4 address of the IPv6 host.
SUITES = {
    "stateless": (["s4_1", "s4_2", "s4_3", "s5_1", "s5_2", "s5_3", "rfc4884", "rfc6791"], "1.0.0.5"),
    "prefix": (["rfc6052"], "1.0.0.5"),
    "stateful": (["rfc6146"], "192.0.2.2"),
    "aws": (["aws"], "192.0.2.2"),
}


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("suite", choices=SUITES)
    asked.add_argument("--instance")
    asked.add_argument("--six")
    asked.add_argument("--four")
    asked.add_argument("--translator")
    asked.add_argument("--prefix", default="64:ff9b::/96")
    asked.add_argument("--only", default="", help="cases whose clause and title contain this")
    asked = asked.parse_args()
    modules, os.environ["POOL"] = SUITES[asked.suite]
    os.environ["PREFIX"] = asked.prefix
    for module in modules:
        importlib.import_module(module)
    from link import Program, Wire

    link = Program(asked.translator) if asked.translator else Wire(asked.instance, asked.six, asked.four)
    failed = 0
    chosen = [it for it in case.CASES if asked.only in f"{it.clause} {it.title}"]
    for one in chosen:
        wrong = judge(one, link.outcome(one.sent, one.expected))
        failed += bool(wrong)
        print("FAILED" if wrong else "ok", one.clause, one.title, sep=" ", flush=True)
        for line in wrong:
            print("   ", line)
    print(f"{len(chosen)} cases, {failed} failed")
    sys.exit(failed > 0)


def judge(one, outcome):
    """What is wrong with the outcome of a case, in words."""
    wrong = []
    for version in (4, 6):
        got = [it for it in outcome if case.version(it) == version]
        want = [it for it in one.expected if case.version(it) == version]
        if len(got) != len(want):
            wrong.append(f"{len(got)} packets of IPv{version} came out instead of {len(want)}")
            wrong += [f"got  {it.hex()}" for it in got] + [f"want {it.hex()}" for it in want]
            continue
        for pair in zip(got, want):
            wrong += case.differences(*pair, one.damaged)
    return wrong


main()
