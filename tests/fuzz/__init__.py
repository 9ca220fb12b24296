"""Bytes from outside, against every decoder that takes them: whatever they are, an error of ours is the worst.

Each module has valid ``SAMPLES`` of what its decoder reads, the samples that once did worse (``FOUND``, pinned for
good), and a ``harness`` that hands bytes to the decoder and lets everything out but a
:class:`~keeper.core.errors.KeeperError`. The fast suite runs each with few inputs, ``make fuzz`` for as many seconds as
``FUZZ_SECONDS`` says, with another seed each time.

Hypothesis makes the inputs, by structured mutation of the samples (``mutation.py``). A coverage-guided fuzzer (atheris)
would find more in the same time, but is a compiled extension without wheels for the newer Pythons that we run on.
"""
