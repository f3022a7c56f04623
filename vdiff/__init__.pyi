from vdiff.trained import Trained as Trained
from vdiff.trained import load as load

__version__: str
