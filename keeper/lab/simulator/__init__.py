"""The shipped keeper in a made-up world: one seed, virtual time, every fault, and an oracle for every promise.

A run has three sides. The *life* is the shipped code, wired as the daemon wires it. The *world* is a chain with geth's
rules, its nodes, its users, a disk and a clock, all of them twins of the real thing that can fail. The *oracles* watch
both and know what neither may do. Everything happens in one event loop whose time jumps from timer to timer, and every
draw comes from a named stream of the seed, so a seed is a whole history: it can be run again, anywhere, byte for byte.
"""
