class LearnableMorlets: pass
