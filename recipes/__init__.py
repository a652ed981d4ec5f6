"""How the models that come with the install are made: their configs, and the data that is derived for them."""
