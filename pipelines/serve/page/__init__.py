"""The web page of a service, on Gradio."""
