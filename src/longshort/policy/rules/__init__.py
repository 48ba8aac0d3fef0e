"""From a forecast to a position: what a rule may see, the rules, sizers, exits, and those of the user."""
