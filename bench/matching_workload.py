"""Workload for event-pattern matching: events and rules, drawn with a seed (standard library only).

Writes  events.jsonl  (one CloudEvents JSON object a line, about 1 KiB each)
        rules.jsonl   ({"id": "r17", "kind": "prefix", "pattern": {...}} a line)

One seed gives one byte-identical pair of files. The rule files nest: the first N lines are the
N-rule set, so every size is a prefix of the next. Popularity is skewed (a few tenants and event
types carry most traffic), and each rule is selective, as a subscription is: the matches per event
grow slowly with the number of rules.

  python -P bench/matching_workload.py --out DIR [--events 20000] [--rules 100000] [--seed 20]
"""

# ruff: noqa: UP031 - the lines must stay what they are, byte for byte

import argparse
import json
import os
import random

DOMAINS = ["order", "payment", "shipment", "user", "cart", "refund", "catalog", "session", "invoice", "alert"]
VERBS = [
    "created",
    "updated",
    "cancelled",
    "completed",
    "failed",
    "expired",
    "approved",
    "rejected",
    "archived",
    "restored",
    "flagged",
    "assigned",
]
STATUS = ["new", "pending", "paid", "packed", "shipped", "delivered", "returned", "cancelled"]
TIERS = ["free", "basic", "silver", "gold", "platinum"]
COUNTRIES = ["US", "DE", "FR", "GB", "IN", "BR", "JP", "NG", "MX", "SE", "PL", "IT", "ES", "NL", "CA", "AU", "KR", "ZA"]
CHANNELS = ["web", "ios", "android", "pos", "partner"]
CURR = ["USD", "EUR", "GBP", "JPY", "INR"]
SYL = ["ka", "lo", "mi", "ne", "ra", "su", "ti", "vo", "zu", "pe", "da", "gi", "ho", "bu", "xe"]
PAGES = ["checkout", "cart", "search", "item", "profile", "orders", "help", "login"]
TEXT = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consectetur",
    "adipiscing",
    "elit",
    "sed",
    "do",
    "eiusmod",
    "tempor",
    "incididunt",
    "ut",
    "labore",
    "et",
    "dolore",
    "magna",
    "aliqua",
    "ut",
    "enim",
    "ad",
    "minim",
    "veniam",
    "quis",
    "nostrud",
    "exercitation",
]


def word(r, n):
    return "".join(r.choice(SYL) for _ in range(n))


class Vocab:
    def __init__(self, seed):
        r = random.Random(seed)
        self.tenants = ["t-%s-%04d" % (word(r, 2), i) for i in range(2000)]
        self.types = ["com.acme.%s.%s" % (d, v) for d in DOMAINS for v in VERBS]
        r.shuffle(self.types)
        self.sources = ["/shop/%s/%s" % (word(r, 3), d) for d in DOMAINS for _ in range(20)]
        self.cities = [word(r, 3).capitalize() + " " + word(r, 2).capitalize() for _ in range(600)]
        self.mail = ["%s.%s" % (word(r, 3), t) for t in ("com", "org", "net", "io", "de") for _ in range(300)]
        self.skus = ["SKU-%s-%05d-%s" % (word(r, 2).upper(), i, word(r, 1).upper()) for i in range(20000)]


def zipf(r, n, s=1.6):
    """Index below n; small ones far more often (bounded Pareto)."""
    return min(n - 1, int(n * (r.random() ** (s + 1.0))))


def ip(r):
    return "%d.%d.%d.%d" % (r.choice((10, 81, 100, 172, 203)), r.randrange(64), r.randrange(256), r.randrange(1, 255))


def event(r, v, i):
    tenant = v.tenants[zipf(r, len(v.tenants))]
    etype = v.types[zipf(r, len(v.types), 0.8)]
    uid = zipf(r, 50000, 0.5)
    items = []
    for _ in range(r.choice((1, 1, 2, 2, 3))):
        items.append({"sku": r.choice(v.skus), "qty": r.randrange(1, 6), "price": round(r.uniform(1, 400), 2)})
    total = round(sum(x["qty"] * x["price"] for x in items), 2)
    order = {
        "id": "o-%08d" % r.randrange(10**8),
        "status": r.choice(STATUS),
        "total": total,
        "currency": r.choice(CURR),
        "channel": r.choice(CHANNELS),
        "priority": r.randrange(10),
        "gift": r.random() < 0.1,
        "items": items,
    }
    if r.random() < 0.3:
        order["coupon"] = "C%04d" % r.randrange(3000)
    if r.random() < 0.1:
        order["parent"] = None
    country = r.choice(COUNTRIES)
    return {
        "specversion": "1.0",
        "id": "%016x" % r.getrandbits(64),
        "source": r.choice(v.sources),
        "type": etype,
        "subject": "tenants/%s/orders/%d" % (tenant, r.randrange(10**6)),
        "time": "2026-%02d-%02dT%02d:%02d:%02dZ"
        % (r.randrange(1, 13), r.randrange(1, 29), r.randrange(24), r.randrange(60), r.randrange(60)),
        "datacontenttype": "application/json",
        "traceparent": "00-%032x-%016x-01" % (r.getrandbits(128), r.getrandbits(64)),
        "data": {
            "tenant": tenant,
            "order": order,
            "user": {
                "id": "u-%05d" % uid,
                "email": "%s.%d@%s" % (word(r, 2), uid, r.choice(v.mail)),
                "tier": r.choice(TIERS),
                "age": r.randrange(16, 90),
                "tags": r.sample(TEXT, 3),
                "verified": r.random() < 0.7,
            },
            "geo": {
                "country": country,
                "city": v.cities[zipf(r, len(v.cities), 0.7)],
                "ip": ip(r),
                "lat": round(r.uniform(-90, 90), 4),
                "lon": round(r.uniform(-180, 180), 4),
            },
            "client": {
                "path": "/%s/%s/%s/%d" % (tenant, r.choice(PAGES), word(r, 2), r.randrange(1000)),
                "version": "%d.%d.%d" % (r.randrange(1, 9), r.randrange(20), r.randrange(50)),
            },
            "note": " ".join(r.choice(TEXT) for _ in range(18)),
        },
    }


KINDS = (
    "exact",
    "prefix",
    "numeric",
    "multi",
    "anything-but",
    "suffix",
    "exact",
    "exists",
    "user",
    "wildcard",
    "ignore-case",
    "cidr",
    "exact",
    "prefix",
    "or",
    "multi",
    "numeric",
    "user",
    "source",
    "exact",
)


def other_pattern(r, v, i, kind, t, tenant):
    """The pattern of the kinds that `rule` leaves over."""
    if kind == "anything-but":
        p = {
            "type": t,
            "data": {"tenant": tenant, "order": {"status": [{"anything-but": r.sample(STATUS, r.randrange(1, 5))}]}},
        }
    elif kind == "wildcard":
        s = r.choice(v.skus)
        if i % 2:
            p = {"data": {"order": {"items": {"sku": [{"wildcard": s[:8] + "*" + s[-5:]}]}}}}
        else:
            p = {
                "type": t,
                "data": {
                    "client": {
                        "path": [{"wildcard": "*/%s/%s*/%d" % (r.choice(PAGES), r.choice(SYL), r.randrange(1000))}]
                    }
                },
            }
    elif kind == "ignore-case":
        c = r.choice(v.cities)
        p = {
            "type": t,
            "data": {
                "geo": {"city": [{"equals-ignore-case": c.upper() if r.random() < 0.5 else c.lower()}]},
                "user": {"tier": [r.choice(TIERS)]},
            },
        }
    elif kind == "cidr":
        p = {
            "data": {
                "geo": {
                    "ip": [
                        {
                            "cidr": "%d.%d.%d.0/24"
                            % (r.choice((10, 81, 100, 172, 203)), r.randrange(64), r.randrange(256))
                        }
                    ]
                },
                "order": {"channel": r.sample(CHANNELS, 2)},
            }
        }
    elif kind == "or":
        p = {
            "data": {"tenant": tenant},
            "$or": [{"type": t}, {"data": {"order": {"total": [{"numeric": [">", r.randrange(1500, 3000)]}]}}}],
        }
        # the second branch must repeat no path of the outer pattern: it merges with data.tenant
    elif kind == "multi":
        p = {
            "type": t,
            "data": {
                "tenant": tenant,
                "order": {"channel": r.sample(CHANNELS, 2), "currency": [r.choice(CURR)], "gift": [False]},
                "user": {"verified": [True]},
                "geo": {"country": r.sample(COUNTRIES, 4)},
            },
        }
    return p


def rule(r, v, i):
    kind = KINDS[i % len(KINDS)]
    t = [v.types[zipf(r, len(v.types), 0.4)]]
    tenant = [v.tenants[zipf(r, len(v.tenants), 0.3)]]
    if kind == "exact":
        p = {"type": t, "data": {"tenant": tenant}}
    elif kind == "user":
        p = {"data": {"user": {"id": ["u-%05d" % r.randrange(50000) for _ in range(r.randrange(1, 4))]}}}
    elif kind == "source":
        p = {
            "source": [r.choice(v.sources)],
            "type": t,
            "data": {"user": {"tier": r.sample(TIERS, 2)}, "geo": {"country": [r.choice(COUNTRIES)]}},
        }
    elif kind == "prefix":
        p = {"data": {"client": {"path": [{"prefix": "/%s/%s/%s" % (tenant[0], r.choice(PAGES), r.choice(SYL))}]}}}
    elif kind == "suffix":
        p = {"type": t, "data": {"user": {"email": [{"suffix": "@" + r.choice(v.mail)}]}}}
    elif kind == "numeric":
        lo = round(r.uniform(0, 2000), 2)
        p = {
            "data": {
                "tenant": tenant,
                "order": {"total": [{"numeric": [">=", lo, "<", round(lo + r.uniform(20, 300), 2)]}]},
            }
        }
        if r.random() < 0.5:
            p["type"] = t
        else:
            p["data"]["order"]["priority"] = [{"numeric": [">", r.randrange(8)]}]
    elif kind == "exists":
        p = {"type": t, "data": {"tenant": tenant, "order": {"coupon": [{"exists": r.random() < 0.5}]}}}
    else:
        p = other_pattern(r, v, i, kind, t, tenant)
    return {"id": "r%d" % i, "kind": kind, "pattern": p}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--out", default=os.environ.get("MATCH_DATA", "data"))
    a.add_argument("--events", type=int, default=20000)
    a.add_argument("--rules", type=int, default=100000)
    a.add_argument("--seed", type=int, default=20)
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    v = Vocab(o.seed)
    r = random.Random(o.seed + 1)
    n = 0
    with open(os.path.join(o.out, "events.jsonl"), "w") as f:
        for i in range(o.events):
            s = json.dumps(event(r, v, i), separators=(",", ":"))
            n += len(s)
            f.write(s + "\n")
    r = random.Random(o.seed + 2)
    with open(os.path.join(o.out, "rules.jsonl"), "w") as f:
        for i in range(o.rules):
            f.write(json.dumps(rule(r, v, i), separators=(",", ":")) + "\n")
    print("%d events, %.0f bytes each; %d rules" % (o.events, n / o.events, o.rules))


if __name__ == "__main__":
    main()
