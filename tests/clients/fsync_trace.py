"""Reads a strace of a run and says whether every file was durable before the catalog was told of it.

For each metadata file that the catalog points at or that its history names: the metadata file itself, the manifest
lists and manifests of its snapshots, and their data files must each have been synced, renamed into place if they were
written under another name, and have had their folder synced, before SQLite's write-ahead log first got a page with
the metadata file's name.

strace is expected to run with -f -y (paths beside descriptors) and a long -s.
"""

import argparse
import os
import re
import sys

from lake_args import add_lake_arguments, open_catalog

STARTED = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$")
DESCRIPTOR = re.compile(r"^(\d+|AT_FDCWD)<(.*?)>")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def calls(lines):
    """(line number at start, at end, name, arguments) of every successful call."""
    open_calls = {}
    for number, line in enumerate(lines):
        line = line.rstrip("\n")
        if m := RESUMED.match(line):
            pid, name, rest = m.groups()
            if pid not in open_calls:
                continue
            began, name, head = open_calls.pop(pid)
            whole = head + rest
        elif m := STARTED.match(line):
            pid, name, whole = m.groups()
            began = number
            if whole.endswith("<unfinished ...>"):
                open_calls[pid] = (number, name, whole.removesuffix("<unfinished ...>"))
                continue
        else:
            continue
        if re.search(r"\)\s+= -1 ", whole):
            continue
        yield began, number, name, whole


def local(location):
    return os.path.realpath(location.removeprefix("file://"))


def read_trace(path):
    """When each path was last synced, renamed into place and its folder synced; when the log held each name."""
    synced, renamed, pages = {}, {}, []
    with open(path, errors="replace") as f:
        for began, ended, name, text in calls(f):
            descriptor = DESCRIPTOR.match(text)
            if name in ("fsync", "fdatasync") and descriptor:
                synced.setdefault(os.path.realpath(descriptor.group(2)), []).append(ended)
            elif name.startswith("rename") or name.startswith("link"):
                names = [bytes(n, "utf-8").decode("unicode_escape") for n in QUOTED.findall(text)]
                if len(names) == 2:
                    renamed[os.path.realpath(names[1])] = (os.path.realpath(names[0]), began, ended)
            elif "write" in name and descriptor and descriptor.group(2).endswith("-wal"):
                pages.append((began, text))
    return synced, renamed, pages


def reachable(table):
    """Every file that a table's metadata leads to."""
    io = table.io
    files = {table.metadata_location}
    for snapshot in table.metadata.snapshots:
        files.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(io):
            files.add(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
                files.add(entry.data_file.file_path)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    parser.add_argument("--trace", required=True)
    args = parser.parse_args()
    synced, renamed, pages = read_trace(args.trace)
    catalog = open_catalog(args)
    files = problems = commits = 0
    for namespace in catalog.list_namespaces():
        for identifier in catalog.list_tables(namespace):
            table = catalog.load_table(identifier)
            name = os.path.basename(table.metadata_location)
            told = next((began for began, text in pages if name in text), None)
            if told is None:
                print(f"{'.'.join(identifier)}: the log never held {name}")
                problems += 1
                continue
            commits += 1
            for location in sorted(reachable(table)):
                files += 1
                path = local(location)
                wrong = []
                placed = 0
                names = [path]
                if path in renamed:
                    source, began, placed = renamed[path]
                    names.append(source)
                    if not any(t < began for t in synced.get(source, [])):
                        wrong.append("renamed before it was synced")
                if not any(t < told for n in names for t in synced.get(n, [])):
                    wrong.append("not synced before the commit")
                if not any(placed < t < told for t in synced.get(os.path.dirname(path), [])):
                    wrong.append("its folder not synced between its naming and the commit")
                if wrong:
                    problems += 1
                    print(f"{path}: {'; '.join(wrong)}")
            log = {os.path.realpath(args.catalog_uri.removeprefix("sqlite:///") + "-wal")}
            if not any(t > told for n in log for t in synced.get(n, [])):
                problems += 1
                print(f"{'.'.join(identifier)}: SQLite's log not synced after the commit")
    print(f"{commits} commits, {files} files, {problems} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
