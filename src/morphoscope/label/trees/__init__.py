"""Decision trees: a question, its answers, and which question each of them leads to."""

from morphoscope.label.trees.tree import Answer, Question, Tree, load_tree, shipped_trees

__all__ = ["Answer", "Question", "Tree", "load_tree", "shipped_trees"]
