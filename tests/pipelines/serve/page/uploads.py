"""Files that the page refuses."""

import io


def made(data):
    """The file that a word stands for."""
    import numpy as np
    import soundfile
    from PIL import Image

    file = io.BytesIO()
    if data == "1200x1200":
        Image.new("RGB", (1200, 1200)).save(file, "PNG")
    elif data == "21 s":
        soundfile.write(file, np.zeros(21 * 8000), 8000, format="WAV")
    return file.getvalue() or data
