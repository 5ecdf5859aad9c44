"""OOM kills are told apart from other exits of instances."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrpool_worker.devices.oom import OomKills, oom_kills

CGROUP = "sys/fs/cgroup/"
V2, V1 = "memory.events", "memory/memory.oom_control"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({CGROUP + V2: "low 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n"}, 3),
        ({CGROUP + V1: "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"}, 7),
        # The innermost one that counts.
        (
            {
                "proc/self/cgroup": "0::/pod/container\n",
                CGROUP + "pod/" + V2: "oom_kill 8\n",
                CGROUP + "pod/container/" + V2: "oom_kill 2\n",
                "proc/vmstat": "oom_kill 9\n",
            },
            2,
        ),
        ({"proc/vmstat": "pgfault 1\noom_kill 5\n"}, 5),
        ({CGROUP + V1: "oom_kill_disable 0\n", "proc/vmstat": "oom_kill 5\n"}, 5),
        ({CGROUP + V2: "oom_kill many\n"}, 0),
        ({}, 0),
    ],
)
def test_the_kernels_count_of_kills_is_read(
    tmp_path: Path, files: dict[str, str], kills: int
) -> None:
    assert oom_kills(write(tmp_path, **files)) == kills


def test_each_kill_explains_one_exit() -> None:
    count = 5
    kills = OomKills(0.0, lambda: count)
    assert not kills.claim(), "those of before are nobody's"
    count = 7
    assert [kills.claim() for _ in range(3)] == [True, True, False]


def test_an_unclaimed_kill_expires() -> None:
    count = 0
    kills = OomKills(0.0, lambda: count)
    count = 1
    kills.expire_unclaimed(2.0)
    kills.expire_unclaimed(2.1)
    assert kills.claim(), "it may have been a moment ago"
    count = 2
    kills.expire_unclaimed(4.0)
    kills.expire_unclaimed(6.0)
    assert not kills.claim()
    count = 3
    assert kills.claim()
