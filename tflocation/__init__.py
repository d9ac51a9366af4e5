"""tflocation: the service beside a container engine, which makes it a location."""
