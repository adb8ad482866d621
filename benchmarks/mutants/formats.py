"""Faults in the importers and in the inspection of data."""

from __future__ import annotations

from .row import Change, Target

IMPORT = "tests/datasets/formats/test_diffusion_policy.py"
HOSTILE = "tests/datasets/formats/test_hostile_sources.py"
FORMATS = [
    Target(
        "datasets/formats/zarr2.py",
        IMPORT,
        [
            Change(
                "a missing chunk is zeros",
                "            if not self.allow_missing:\n"
                "                raise self._missing(name)\n"
                "            return np.full",
                "            return np.full",
                equivalent="require_chunks has refused the source before any chunk is read; this "
                "is the second line, for a chunk that vanishes meanwhile.",
            ),
            Change(
                "columns of Fortran order are taken for rows",
                'order="F" if self.order == "F" else "C"',
                'order="C"',
            ),
            Change(
                "reads begin at the chunk's first row",
                "slab[begin - index * length : end - index * length]",
                "slab[: end - begin]",
            ),
            Change(
                "chunks of any size are read",
                "if array.held_bytes > CHUNK_BYTES:",
                "if False:",
                tests=HOSTILE,
            ),
            Change(
                "objects are read",
                'if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:',
                "if False:",
                tests=HOSTILE,
            ),
        ],
    ),
    Target(
        "datasets/formats/unpacking.py",
        HOSTILE,
        [
            Change(
                "a chunk may unpack to gigabytes",
                "return zlib.decompressobj(wbits=47).decompress(content, size + 1)",
                "return zlib.decompressobj(wbits=47).decompress(content)",
            ),
            Change(
                "blosc's stated size is believed",
                '    _require(int.from_bytes(content[4:8], "little"), size)\n',
                "",
            ),
            Change(
                "a wrong length is taken",
                "    if length != wanted:",
                "    if length < wanted:",
            ),
        ],
    ),
    Target(
        "datasets/formats/files.py",
        HOSTILE,
        [
            Change(
                "links out of the source are followed",
                "if not path.resolve().is_relative_to(self._real_root):",
                "if False:",
            ),
            Change(
                "named pipes are opened",
                "if not stat.S_ISREG(path.stat().st_mode):",
                "if False:",
            ),
            Change(
                "a zip's entry may have any length",
                "        if entry.file_size > limit:\n            raise _too_long(where, limit)\n",
                "",
            ),
            Change(
                "a key may lead elsewhere",
                'if name.startswith((".", "_")) or',
                "if",
            ),
        ],
    ),
    Target(
        "datasets/formats/copying.py",
        f"{IMPORT} tests/datasets/formats/test_importer.py",
        [
            Change(
                "a derived key has one column more",
                "return {name: block[key][:, first:stop]",
                "return {name: block[key][:, first : stop + 1]",
            ),
            Change(
                "actions outside their limits are not noted",
                "    if outside:\n",
                "    if False:\n",
            ),
            Change(
                "limits of another length are taken",
                "if action[name] is not None and (len(action[name]),) != shape:",
                "if False:",
            ),
        ],
    ),
    Target(
        "datasets/formats/diffusion_policy.py",
        IMPORT,
        [
            Change(
                "ends that do not grow are taken",
                "if not len(ends) or np.any(np.diff(ends, prepend=0) <= 0):",
                "if not len(ends):",
            ),
            Change(
                "a key that is too short is taken",
                "    if length < n_steps:",
                "    if False:",
            ),
            Change(
                "the importer forgets the rows of its last block",
                "stop = min(start + n_rows, n_steps)",
                "stop = min(start + n_rows, n_steps - 1)",
            ),
        ],
    ),
    Target(
        "datasets/inspection/findings.py",
        "tests/datasets/inspection/test_inspection.py",
        [
            Change(
                "a reset between episodes is a jump",
                "    steps[ends[:-1] - 1] = 0\n",
                "",
            ),
            Change(
                "a step is a jump at twice the usual",
                "JUMP_FACTOR = 10.0",
                "JUMP_FACTOR = 2.0",
            ),
            Change(
                "an episode at its end is named for the next",
                'np.flatnonzero(bad), side="right")',
                'np.flatnonzero(bad), side="left")',
            ),
            Change(
                "an action beyond its low limit is not seen",
                '(("low", -1.0), ("high", 1.0))',
                '(("high", 1.0),)',
            ),
            Change(
                "near-constant is a matter of units",
                "little = np.maximum(NEAR_CONSTANT_BESIDE_OTHERS * widest, NEAR_CONSTANT * size)",
                "little = np.full_like(size, 1e-3)",
            ),
        ],
    ),
]
