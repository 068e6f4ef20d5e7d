"""What a checker of types must find: `make lint` fails where one of these is no error."""

from sklstruct import NiftiVolumes, RFNNClassifier, ScatteringSVC

RFNNClassifier(max_epochs=3, frame="pixel").fit([[0.0]], [0]).predict([[0.0]])
RFNNClassifier(max_epoch=3)  # type: ignore[call-arg]
RFNNClassifier(max_epochs="3")  # type: ignore[arg-type]
NiftiVolumes(grid=3)  # type: ignore[arg-type]
ScatteringSVC(J="2")  # type: ignore[arg-type]
