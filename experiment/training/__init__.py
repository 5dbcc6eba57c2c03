"""Networks and how they are trained; imports TensorFlow."""
