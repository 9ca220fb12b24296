"""The production composition root: settings become parts, and the parts run under one supervised task group."""
