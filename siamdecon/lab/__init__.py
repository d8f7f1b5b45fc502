"""The interactive parts of the course: explorers, live training, questions, exercise checks, plots."""

from siamdecon.lab import checks
from siamdecon.lab.budget import check_budget
from siamdecon.lab.comparisons import scales_explorer, slices_explorer, volume_explorer
from siamdecon.lab.explorers import iterations_explorer, noise_explorer, optics_explorer
from siamdecon.lab.inputs import faulty_inputs
from siamdecon.lab.lambdas import LambdaExplorer
from siamdecon.lab.live import LiveTraining
from siamdecon.lab.plots import gallery, lines, loss_curves, score_table
from siamdecon.lab.questions import Question, ask, open_questions, predictions
from siamdecon.lab.real import real_or_simulated
from siamdecon.lab.volumes import open_in_napari
