"""The playground: a page on which one asks models and watches them write. Nothing else in aritmo knows of it."""
