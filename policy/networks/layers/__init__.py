"""The parts that networks are made of: attention, convolutions, embeddings, modulations."""
