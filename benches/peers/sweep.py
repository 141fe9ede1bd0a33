"""What a good engineer writes instead of a MIP model: Lagrangian bounds for all deadlines, CP-SAT for what is left.

For prices p >= 0 of the four resources and every deadline d (requests sorted by budget, loosest first; F_d are the
first d),

    bound(p, d) = p . capacities(d) + sum over i in F_d of max(0, 1 - p . cost_i)

is at least the size of any batch inside F_d under the budget of d: one pass gives it for every d at once. Best first:
the deadline with the largest bound gets the best prices (a linear program with four rows), and if its bound still
allows a larger batch than the best known, CP-SAT settles it on the requests that prices leave open.
"""

import time

import numpy as np
from ortools.sat.python import cp_model
from scipy.optimize import linprog

EPS = 1e-6  # for the floats of bounds; the CP-SAT leaves are exact
SMALL = 3000  # requests that a linear program takes as they are; with more, only a core of this size


class Sweep:
    def __init__(self, problem, limit):
        self.deadline = time.perf_counter() + limit
        alone = (problem.cost[:3] <= problem.capacity[:, None]).all(0) & (problem.cost[3] <= problem.budget)
        self.rows = np.flatnonzero(alone)
        self.rows = self.rows[np.argsort(-problem.budget[self.rows], kind="stable")]
        self.cost = problem.cost[:, self.rows]
        self.budget = problem.budget[self.rows]
        self.capacity = problem.capacity
        self.ends = np.flatnonzero(np.append(self.budget[1:] != self.budget[:-1], True)[: len(self.budget)])
        largest = self.budget[0] if len(self.budget) else 1
        self.scale = np.maximum(np.append(self.capacity, largest), 1).astype(float)
        self.scaled = self.cost / self.scale[:, None]
        self.fixed = np.minimum(self.capacity, self.scale[:3]) / self.scale[:3]
        self.best = np.zeros(0, dtype=np.int64)

    def limits(self, end):
        """The scaled capacities under the deadline of rank `end`."""
        return np.append(self.fixed, self.budget[end] / self.scale[3])

    def solve(self):
        """The best batch, a bound on any, and whether it is proven."""
        bound = np.full(len(self.ends), np.inf)
        known = []  # prices
        source = np.zeros(len(self.ends), dtype=np.int64)  # which of them give the bound of a deadline
        priced = set()

        def learn(end, prices):
            gain = np.cumsum(np.maximum(0, 1 - prices @ self.scaled))
            spent = prices[:3] @ self.fixed + prices[3] * self.budget[self.ends] / self.scale[3]
            everywhere = spent + gain[self.ends]
            source[everywhere < bound] = len(known)
            known.append(prices)
            np.minimum(bound, everywhere, out=bound)
            self.greedy(end, prices)

        # A few deadlines roughly, so that the first one to be looked at closely is a promising one.
        for end in self.ends[:: len(self.ends) // 4 + 1]:
            learn(end, self.sample(end))
        while len(bound):
            top = int(np.argmax(bound))
            if bound[top] < len(self.best) + 1 - EPS:
                break
            if time.perf_counter() > self.deadline:
                return self.rows[self.best], int(bound[top] + EPS), False
            end, prices = self.ends[top], known[source[top]]
            if top in priced:
                # The largest size that the bound allows: it leaves the fewest requests open, and is mostly right.
                target = int(bound[top] + EPS)
                if self.leaf(end, prices, target) is False:
                    bound[top] = target - 1
            else:
                priced.add(top)
                learn(end, self.price(end, prices))
        return self.rows[self.best], len(self.best), True

    def price(self, end, warm):
        """The best prices for one deadline."""
        scaled, limits = self.scaled[:, : end + 1], self.limits(end)
        if end < SMALL:
            return self.relax(scaled, limits)
        # The linear program is about a core: the requests whose price is near what they bring, and later those whose
        # sign the new prices turn. All others are taken or left.
        gain = 1 - warm @ scaled
        core = np.zeros(end + 1, dtype=bool)
        core[np.argpartition(np.abs(gain), SMALL)[:SMALL]] = True
        whole = (gain > 0) & ~core
        while True:
            left = limits - scaled[:, whole].sum(1)
            if (left <= 0).any():
                core |= whole
                whole[:] = False
                continue
            prices = self.relax(scaled[:, core], left)
            turned = ~core & (whole != (prices @ scaled < 1))
            if not turned.any():
                return prices
            core |= turned
            whole &= ~turned

    def sample(self, end):
        """Good prices for one deadline, from every so many requests."""
        every = end // SMALL + 1
        return self.relax(self.scaled[:, : end + 1 : every], self.limits(end) / every)

    def relax(self, scaled, limits):
        """The dual prices of: maximise sum x, scaled x <= limits, 0 <= x <= 1."""
        n, options = scaled.shape[1], {"presolve": False}
        found = linprog(np.full(n, -1.0), A_ub=scaled, b_ub=limits, bounds=(0, 1), method="highs-ds", options=options)
        return np.maximum(0, -found.ineqlin.marginals)

    def greedy(self, end, prices):
        """Takes requests by price while they fit."""
        order = np.argsort(prices @ self.scaled[:, : end + 1], kind="stable")
        cost, left = self.cost[:, order], np.append(self.capacity, self.budget[end])
        taken = int((np.cumsum(cost, axis=1) <= left[:, None]).all(0).argmin()) if len(order) else 0
        if taken == 0 and (cost.sum(1) <= left).all():
            taken = len(order)
        left = left - cost[:, :taken].sum(1)
        batch = list(order[:taken])
        candidates = np.arange(taken, len(order))
        while len(candidates := candidates[(cost[:, candidates] <= left[:, None]).all(0)]):
            batch.append(order[candidates[0]])
            left = left - cost[:, candidates[0]]
            candidates = candidates[1:]
        if len(batch) > len(self.best):
            self.best = np.array(batch)

    def leaf(self, end, prices, target):
        """Whether a batch of that size fits under one deadline, exactly, by CP-SAT; None if time is up."""
        gain = 1 - prices @ self.scaled[:, : end + 1]
        # A batch that takes a request against its sign loses the gain: what would lose too much is settled.
        loss_allowed = prices @ self.limits(end) + np.maximum(0, gain).sum() - target + EPS
        order = np.argsort(np.abs(gain), kind="stable")
        order = order[: np.searchsorted(np.abs(gain)[order], loss_allowed, side="right")]
        # The requests that are nearest to undecided often do; only all of them prove that there is no such batch.
        for free in [order[:50], order] if len(order) > 50 else [order]:
            inside = gain > 0
            inside[free] = False
            left = np.append(self.capacity, self.budget[end]) - self.cost[:, : end + 1][:, inside].sum(1)
            chosen = self.choose(free, left, target - int(inside.sum()))
            if chosen:
                self.best = np.append(np.flatnonzero(inside), chosen[0])
                return True
        return chosen

    def choose(self, free, left, count):
        """So many of the requests that fit in what is left, in a list; False if there are none, None if out of time."""
        if (left < 0).any():
            return False
        model = cp_model.CpModel()
        x = [model.new_bool_var("") for _ in free]
        for r in range(4):
            model.add(cp_model.LinearExpr.weighted_sum(x, self.cost[r, free].tolist()) <= int(left[r]))
        model.add(cp_model.LinearExpr.sum(x) >= count)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_time_in_seconds = max(0.01, self.deadline - time.perf_counter())
        status = solver.solve(model)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return [np.array([i for i, variable in zip(free, x) if solver.value(variable)], dtype=np.int64)]
        return False if status == cp_model.INFEASIBLE else None
