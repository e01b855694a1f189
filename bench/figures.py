"""What was measured: values of several runs, shown as their median with the smallest and the largest."""

import statistics


def shown(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


class Figures:
    def __init__(self, goals):
        self.goals = goals
        self.rows = []

    def add(self, benchmark, what, values, at_least=None, at_most=None):
        """One line of the table; returns the median. A goal is `at_least` or `at_most` a number."""
        values = [float(v) for v in (values if isinstance(values, (list, tuple)) else [values])]
        median = statistics.median(values)
        goal = ""
        if self.goals and at_least is not None:
            goal = f"at least {shown(at_least)}: {'met' if median >= at_least else 'missed'}"
        if self.goals and at_most is not None:
            goal = f"at most {shown(at_most)}: {'met' if median <= at_most else 'missed'}"
        spread = f"{shown(min(values))} .. {shown(max(values))}" if len(values) > 1 else ""
        self.rows.append((benchmark, what, shown(median), spread, str(len(values)), goal))
        print(f"   {what}: {shown(median)}  {spread}  {goal}".rstrip(), flush=True)
        return median

    def table(self):
        head = ("benchmark", "what", "median", "least .. most", "runs", "goal")
        lines = [head, tuple("---" for _ in head), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
