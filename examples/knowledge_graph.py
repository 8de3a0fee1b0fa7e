"""A text → its entities and their relations → a graph → a picture of it.

python examples/knowledge_graph.py [FILE] [PICTURE]     needs: pip install gliner_mt[examples]

FILE is a text, PICTURE a .svg or .png file (default: knowledge_graph.svg).
"""

import sys
from pathlib import Path

import matplotlib
import networkx as nx

from gliner_mt import Extractor, InputError, Relation, Relations

matplotlib.use("Agg")  # draws into files, where there is no screen, too
import matplotlib.pyplot as plt

TEXT = (
    "Marie Curie was born in Warsaw and worked at the University of Paris. She married Pierre Curie, "
    "who was born in Paris. Pierre Curie taught physics at the University of Paris. "
    "Their daughter Irène Joliot-Curie worked for the Radium Institute in Paris."
)
ASKED = Relations(
    {
        "born in": ("person", "city"),
        "works for": ("person", "organization"),
        "located in": ("organization", "city"),
        "married to": ("person", "person"),
    }
)


def graph_of(relations: list[Relation]) -> nx.MultiDiGraph:
    """Return a node for each name, an edge for each relation; of repeated ones the surest counts."""
    graph = nx.MultiDiGraph()
    for relation in relations:
        head, tail = (" ".join(end.text.split()) for end in (relation.head, relation.tail))
        graph.add_node(head, kind=relation.head.label)
        graph.add_node(tail, kind=relation.tail.label)
        known = graph.get_edge_data(head, tail, relation.label, {"score": 0.0})
        graph.add_edge(head, tail, relation.label, score=max(known["score"], relation.score))
    return graph


def draw(graph: nx.MultiDiGraph, path: Path) -> None:
    """Draw the graph into a file."""
    kinds = sorted({kind for _, kind in graph.nodes(data="kind")})
    colours = [plt.get_cmap("Pastel1")(kinds.index(kind)) for _, kind in graph.nodes(data="kind")]
    places = nx.spring_layout(graph, seed=1, k=2.0)
    figure, axes = plt.subplots(figsize=(9, 6))
    nx.draw_networkx(
        graph, places, ax=axes, node_color=colours, node_size=2400, font_size=8, edge_color="gray"
    )
    labels: dict[tuple[str, str], str] = {}
    for head, tail, label in graph.edges(keys=True):
        labels[head, tail] = f"{labels[head, tail]}, {label}" if (head, tail) in labels else label
    nx.draw_networkx_edge_labels(graph, places, labels, ax=axes, font_size=7)
    axes.set_axis_off()
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else TEXT
picture = Path(sys.argv[2] if len(sys.argv) > 2 else "knowledge_graph.svg")
try:
    found = Extractor.load().extract(text, ASKED)
except InputError as error:  # a model without a pair head
    sys.exit(str(error))
graph = graph_of(found)
for head, tail, label, score in graph.edges(keys=True, data="score"):
    print(f"{score:.2f}  {head} -- {label} --> {tail}")
draw(graph, picture)
print(f"{graph.number_of_nodes()} names, {graph.number_of_edges()} relations: {picture}")
