"""The playground: a page on which one asks the models and watches them write. Nothing else in aritmo knows of it."""
