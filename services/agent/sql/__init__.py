"""What a map-server asks of a database, answered without one (docs/adr/0019).

responder.py listens; session.py is one connection; statements.py what a statement gets; wire.py the protocol's packets.
"""
