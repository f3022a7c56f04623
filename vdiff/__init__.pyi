from vdiff.trained import Trained as Trained
from vdiff.trained import load as load
from vdiff.wrapped import Wrapped as Wrapped
from vdiff.wrapped import wrap as wrap

__version__: str
