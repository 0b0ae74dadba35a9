"""The page of a service: Gradio's server over the service's answers."""
