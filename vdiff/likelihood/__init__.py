"""The likelihood of a diffusion model, whoever trained it: one `Model`, and a file for each part.

space: grey levels to vectors and back; noise: a stream for each example; bound, ode, layers: the
three likelihoods; sample: new examples; result: what `log_prob` returns; network: what networks are
like; wrap: a Model from a network; latent: one with an autoencoder in front; classify, gradient:
what is asked under conditions, and by x.
"""
