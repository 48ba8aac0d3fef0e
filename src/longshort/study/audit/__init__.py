"""The leak prover: nothing may know what it could not have known."""
