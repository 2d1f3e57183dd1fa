"""The k nearest points of every point of a plane, by rings of square bins."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _offer(row, distance, j, d):
    """Keep candidate j at squared distance d if it is among the nearest so far, in order."""
    k = len(row)
    if d > distance[k - 1] or (d == distance[k - 1] and row[k - 1] >= 0 and j > row[k - 1]):
        return
    i = k - 1
    while i > 0 and (distance[i - 1] > d or (distance[i - 1] == d and row[i - 1] > j)):
        distance[i], row[i] = distance[i - 1], row[i - 1]
        i -= 1
    distance[i], row[i] = d, j


@njit(cache=True, nogil=True)
def _bins(xy, width, low, G):
    """Counting sort of points into G × G bins: (start of each bin, points in bin order)."""
    n = len(xy)
    cell = np.empty(n, np.int64)
    start = np.zeros(G * G + 1, np.int64)
    for i in range(n):
        a = min(G - 1, int((xy[i, 0] - low[0]) / width))
        b = min(G - 1, int((xy[i, 1] - low[1]) / width))
        cell[i] = a * G + b
        start[cell[i] + 1] += 1
    for c in range(G * G):
        start[c + 1] += start[c]
    place = start.copy()
    points = np.empty(n, np.int64)
    for i in range(n):
        points[place[cell[i]]] = i
        place[cell[i]] += 1
    return cell, start, points


@njit(cache=True, nogil=True)
def nearest(xy, k):
    """(n, k) indices of the k points nearest to each of xy (n, 2), nearest first, -1 where there
    are fewer; ties go to the lower index; a point is no neighbour of itself."""
    n = len(xy)
    G = max(1, int(np.sqrt(n / 2)))
    low = np.array([xy[:, 0].min(), xy[:, 1].min()])
    extent = max(xy[:, 0].max() - low[0], xy[:, 1].max() - low[1])
    width = max(extent / G, 1e-300)
    cell, start, points = _bins(xy, width, low, G)
    found = np.full((n, k), -1, np.int64)
    distance = np.empty(k)
    for i in range(n):
        distance[:] = np.inf
        a, b = cell[i] // G, cell[i] % G
        for ring in range(G + 1):
            # All points in rings beyond this one are farther away than (ring - 1) bins.
            if ring > 0 and distance[k - 1] < (ring - 1) ** 2 * width**2:
                break
            for u in range(max(0, a - ring), min(G, a + ring + 1)):
                for v in range(max(0, b - ring), min(G, b + ring + 1)):
                    if max(abs(u - a), abs(v - b)) != ring:
                        continue
                    for q in range(start[u * G + v], start[u * G + v + 1]):
                        j = points[q]
                        if j != i:
                            d = (xy[i, 0] - xy[j, 0]) ** 2 + (xy[i, 1] - xy[j, 1]) ** 2
                            _offer(found[i], distance, j, d)
    return found
