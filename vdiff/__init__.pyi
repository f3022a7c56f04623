from vdiff.likelihood.latent import with_vae as with_vae
from vdiff.likelihood.model import Model as Model
from vdiff.likelihood.result import LogProb as LogProb
from vdiff.likelihood.wrap import wrap as wrap
from vdiff.loading import load as load

__version__: str
