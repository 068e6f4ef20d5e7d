def serves(module, planes): return False
def scatter(module, planes): raise NotImplementedError
