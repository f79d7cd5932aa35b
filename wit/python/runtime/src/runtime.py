"""The ready Python runtime: a component that is given a node's source, then answers batches.

This runs once, when the component is built: the interpreter as it stands afterwards is what every instance begins with. So
whatever is imported here costs nothing later, and what is not imported here cannot be imported at all.
"""

from sangre_runtime import library

library.preload()

from sangre_runtime import output, purity  # noqa: E402
from sangre_runtime.script import Script  # noqa: E402, F401 (the component's export)

output.redirect()
purity.enforce()
library.close()
