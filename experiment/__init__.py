"""One tracked run of a Keras image classifier, and what is done with runs afterwards."""
