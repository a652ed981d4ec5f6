"""The content of a COCO Keypoints file as CVAT's and Datumaro's other formats write it."""

import json
from xml.sax.saxutils import escape, quoteattr

import pytest


def _rows(content):
    """(image row, its annotation rows) of COCO JSON."""
    for image in content["images"]:
        yield image, [row for row in content["annotations"] if row["image_id"] == image["id"]]


def _triples(row):
    return [row["keypoints"][i : i + 3] for i in range(0, len(row["keypoints"]), 3)]


def as_cvat_xml(content):
    """The same labels as CVAT 2 writes them in XML; the elements of a skeleton in another order."""
    (category,) = content["categories"]
    svg = "".join(f'<line data-node-from="{a}" data-node-to="{b}"></line>' for a, b in category["skeleton"])
    svg += "".join(f"<circle data-label-name={quoteattr(joint)}></circle>" for joint in category["keypoints"])
    labels = f"<label><name>{category['name']}</name><type>skeleton</type><svg>{escape(svg)}</svg></label>\n"
    for joint in reversed(category["keypoints"]):
        labels += f"<label><name>{joint}</name><type>points</type><parent>{category['name']}</parent></label>\n"
    head = f"<version>1.1</version>\n<meta><task><labels>{labels}</labels></task></meta>\n"
    body = ""
    for number, (image, rows) in enumerate(_rows(content)):
        size = f'width="{image["width"]}" height="{image["height"]}"'
        body += f'<image id="{number}" name={quoteattr(image["file_name"])} {size}>\n'
        for row in rows:
            body += f'<skeleton label={quoteattr(category["name"])} source="file" z_order="0">\n'
            for joint, (x, y, v) in reversed(list(zip(category["keypoints"], _triples(row), strict=True))):
                body += f'<points label={quoteattr(joint)} source="file" outside="{int(v == 0)}" '
                body += f'occluded="{int(v == 1)}" points="{x:.2f},{y:.2f}">\n</points>\n'
            body += "</skeleton>\n"
        body += "</image>\n"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n{head}{body}</annotations>\n'.encode()


def as_cvat_datumaro(content):
    """The same labels as CVAT's fork of Datumaro writes them; see test_datumaro_json."""
    (category,) = content["categories"]
    labels = [{"name": category["name"], "parent": "", "attributes": []}]
    labels += [{"name": joint, "parent": category["name"], "attributes": []} for joint in category["keypoints"]]
    points = [{"label_id": 0, "labels": category["keypoints"], "joints": category["skeleton"]}]
    items = []
    for number, (image, rows) in enumerate(_rows(content)):
        annotations = [
            {
                "id": 0,
                "type": "skeleton",
                "attributes": row["attributes"],
                "group": 0,
                "label_id": 0,
                "points": row["keypoints"],
                "points_attributes": [{}] * len(category["keypoints"]),
            }
            for row in rows
        ]
        media = {"path": image["file_name"], "size": [image["height"], image["width"]]}
        stem = image["file_name"].rsplit(".", 1)[0]
        items.append({"id": stem, "annotations": annotations, "attr": {"frame": number}, "image": media})
    categories = {"label": {"labels": labels, "attributes": ["occluded"]}, "points": {"items": points}}
    return json.dumps({"info": {}, "categories": categories, "items": items}, ensure_ascii=False).encode()


def as_datumaro(content, folder):
    """The same labels as the installed Datumaro writes them, as keypoints."""
    datumaro = pytest.importorskip("datumaro")
    annotation = pytest.importorskip("datumaro.components.annotation")
    (category,) = content["categories"]
    labels = annotation.LabelCategories.from_iterable([(category["name"],)])
    points = annotation.PointsCategories()
    points.add(0, category["keypoints"], category["skeleton"])
    items = []
    for image, rows in _rows(content):
        shapes = [
            annotation.Points(
                [number for x, y, _ in _triples(row) for number in (x, y)],
                [v for _, _, v in _triples(row)],
                label=0,
                attributes=row["attributes"],
            )
            for row in rows
        ]
        media = datumaro.components.media.Image.from_file(
            path=image["file_name"], size=(image["height"], image["width"])
        )
        items.append(datumaro.DatasetItem(image["file_name"].rsplit(".", 1)[0], media=media, annotations=shapes))
    categories = {annotation.AnnotationType.label: labels, annotation.AnnotationType.points: points}
    datumaro.Dataset.from_iterable(items, categories=categories).export(str(folder), "datumaro")
    (file,) = (folder / "annotations").iterdir()
    return file.read_bytes()
