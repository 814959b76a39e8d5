from __future__ import annotations

from tunekit.diagnosis.unknown import cure_of, frames

OWN = '  File "/job/train.py", line 40, in main\n    loss.backward()\n'
LIBRARY = '  File "/venv/lib/python3.11/site-packages/deepspeed/runtime/engine.py", line 2001, in backward\n    x()\n'
PYTHONS = '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    x()\n'


def test_an_error_of_a_library_is_searched_among_its_issues():
    assert cure_of(f"{OWN}{LIBRARY}KeyError: 3") == (
        "it was raised in engine.py of deepspeed, line 2001, called from train.py, line 40: search its last line among "
        "the issues of deepspeed"
    )
    assert "called from" not in cure_of(LIBRARY)


def test_an_error_of_the_program_is_looked_at():
    told = "look at train.py, line 40, which raised it: the line is the program's own"
    assert cure_of(OWN) == cure_of(f"{OWN}{PYTHONS}") == told


def test_without_places_nothing_is_said():
    assert cure_of("KeyError: 3") == ""
    assert [str(frame) for frame in frames(PYTHONS)] == []
