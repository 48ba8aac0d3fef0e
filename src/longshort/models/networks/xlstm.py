"""xLSTM of Beck et al. (2024): residual blocks with exponential gating, mLSTM and sLSTM in turn."""

from torch import nn

from longshort.models.networks.backbone import Backbone, ChunkDropout, Hidden, Shape, State, Window
from longshort.models.networks.mlstm import MLSTMBlock
from longshort.models.networks.slstm import SLSTMBlock


class XLSTM(Backbone):
    """`shape.layers` pairs of an mLSTM block, which stores and looks up, and an sLSTM block, which keeps count.

    Blocks normalise what they read and add to it: `layer_norm` and `residual` change nothing.
    """

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__(inputs, shape)
        self.enter = nn.Linear(inputs, shape.hidden)
        blocks = [block(shape.hidden) for _ in range(shape.layers) for block in (MLSTMBlock, SLSTMBlock)]
        self.blocks = nn.ModuleList(blocks)
        self.parts = [block.parts for block in blocks]  # of each one's memory
        self.drop = ChunkDropout(shape.dropout)
        self.norm = nn.LayerNorm(shape.hidden)

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """Hidden states of the last block; the memory is that of every block, one after the other."""
        hidden, after = self.enter(window), ()
        for k, (block, parts) in enumerate(zip(self.blocks, self.parts, strict=True)):
            before = None if state is None else state[len(after) : len(after) + parts]
            hidden, own = block(hidden if k == 0 else self.drop(hidden), before)
            after += own
        return self.norm(hidden), after
