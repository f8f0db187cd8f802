#!/usr/bin/env python3
"""layouts.py OLD.abi NEW.abi - what abidiff's suppressions cannot say.

A struct that begins with `size` may gain fields at its end: abidiff can be told so, and is then
silent about every other change of that struct. So the layouts are compared here: what OLD has, NEW
has at the same place, of the same type and by the same name; a struct that does not begin with
`size`, and an enumeration, is the same altogether."""
import sys
import xml.etree.ElementTree as tree


class Interface:
    def __init__(self, path):
        self.root = tree.parse(path).getroot()
        self.types = {node.get("id"): node for node in self.root.iter() if node.get("id")}

    def spell(self, identity):
        """A type as text, typedefs resolved."""
        node = self.types[identity]
        inner = node.get("type-id")
        if node.tag == "typedef-decl":
            return self.spell(inner)
        if node.tag == "pointer-type-def":
            return self.spell(inner) + " *"
        if node.tag == "qualified-type-def":
            return "const " + self.spell(inner)
        if node.tag == "array-type-def":
            lengths = "".join(f"[{part.get('length')}]" for part in node.iter("subrange"))
            return self.spell(inner) + lengths
        return f"{node.get('name')} of {node.get('size-in-bits')} bits"

    def structs(self):
        """name: (bits, [(bit, name, type)]) of the structs that the headers define."""
        found = {}
        for node in self.root.iter("class-decl"):
            if node.get("name").startswith("eet_") and node.get("size-in-bits"):
                members = [(int(member.get("layout-offset-in-bits")), member[0].get("name"),
                            self.spell(member[0].get("type-id")))
                           for member in node.iter("data-member")]
                found[node.get("name")] = int(node.get("size-in-bits")), sorted(members)
        return found

    def enumerations(self):
        """The lists [(name, value)], each under its first name."""
        found = {}
        for node in self.root.iter("enum-decl"):
            items = [(item.get("name"), item.get("value")) for item in node.iter("enumerator")]
            if items and items[0][0].startswith("EET_"):
                found[items[0][0]] = items
        return found


def differences(old, new):
    structs = new.structs()
    for name, (bits, members) in old.structs().items():
        if name not in structs:
            yield f"struct {name} is gone"
            continue
        new_bits, new_members = structs[name]
        grows = members[:1] == new_members[:1] and members[0][1] == "size"
        for i, member in enumerate(members):
            if i >= len(new_members) or new_members[i] != member:
                found = new_members[i] if i < len(new_members) else "nothing"
                yield f"struct {name}: {member} became {found} (bit, name, type)"
        if not grows and (new_bits, len(new_members)) != (bits, len(members)):
            yield f"struct {name} does not begin with size and grew from {bits} to {new_bits} bits"
    enumerations = new.enumerations()
    for first, items in old.enumerations().items():
        if enumerations.get(first) != items:
            yield f"the enumeration of {first}: {items} became {enumerations.get(first)}"


def main():
    old, new = Interface(sys.argv[1]), Interface(sys.argv[2])
    if len(old.structs()) + len(old.enumerations()) == 0:
        sys.exit(f"{sys.argv[1]} has neither structs nor enumerations")
    found = list(differences(old, new))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


main()
