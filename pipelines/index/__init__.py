"""vectors -> a FAISS index and its card."""
