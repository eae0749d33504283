"""Writes the databases of places that tests ask, with a writer that is not ours: pip install mmdb_writer==0.2.7 netaddr.

The networks are those kept for documentation (RFC 5737, RFC 3849).
"""

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def entry(country=None, at=None):
    told = {"continent": {"code": "XX", "names": {"en": "Somewhere"}}}
    if country:
        told["country"] = {"iso_code": country, "geoname_id": 1, "names": {"de": "Land", "en": "Country"}}
    if at:
        told["location"] = {"accuracy_radius": 100, "latitude": at[0], "longitude": at[1], "time_zone": "Etc/UTC"}
    return told


def write(name, kind, entries):
    # The kinds of numbers that MaxMind's files have.
    writer = MMDBWriter(
        6, kind, languages=["en"], description="Places of tests", ipv4_compatible=True, int_type="u32", float_type="f64"
    )
    for network, told in entries.items():
        writer.insert_network(IPSet([network]), told)
    writer.to_db_file(name)


BERLIN, NEW_YORK, SYDNEY = (52.5, 13.4), (40.7, -74.0), (-33.9, 151.2)

write(
    "places.mmdb",
    "GeoLite2-City",
    {
        "192.0.2.0/24": entry("DE", BERLIN),
        "198.51.100.0/24": entry("US", NEW_YORK),
        "203.0.113.0/25": entry("JP"),
        "203.0.113.128/25": entry(),
        "2001:db8:1::/48": entry("AU", SYDNEY),
        "2001:db8:2::/48": entry("DE"),
    },
)
write("moved.mmdb", "GeoLite2-City", {"192.0.2.0/24": entry("US", NEW_YORK)})
write("networks.mmdb", "GeoLite2-ASN", {"192.0.2.0/24": {"autonomous_system_number": 64496}})
