"""Lines in which a program's output on a mounted file may differ from its output on the source, and why.

Everything here was changed by the loader that filled the sample stores; nothing is the mount's doing.
"""

import re


class Loss:
    """A reason, and the lines (of both outputs) that it explains."""

    def __init__(self, reason, pattern, tools="", domains="", versions=""):
        self.reason = reason
        self.pattern = re.compile(pattern)
        self.tools = re.compile(tools)
        self.domains = re.compile(domains)
        self.versions = re.compile(versions)

    def explains(self, tool, version, domain, line):
        """Whether this is the reason."""
        return bool(self.tools.match(tool) and self.domains.match(domain) and self.versions.match(version)
                    and self.pattern.search(line))


LOST = []


def known(tool, version, domain, line):
    """The reason for a line that differs, or nothing."""
    return next((loss.reason for loss in LOST if loss.explains(tool, version, domain, line)), None)
