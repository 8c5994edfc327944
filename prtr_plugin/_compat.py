def allow_safe_checkpoints() -> None:
    """Let PyTorch load mmpose's checkpoints as data, without running code.

    They hold arrays of the dataset's colours and joint weights, of types that
    mmengine's list of safe ones lacks; mmengine would print a long warning
    and then load them in the unsafe way.
    """
    import numpy as np
    import torch

    if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
        torch.serialization.add_safe_globals([type(np.dtype(np.uint8)), type(np.dtype(np.float32))])
