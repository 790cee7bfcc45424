"""Where an image comes from, in a form that others can verify: receipts, signed manifests, marks
and an audit log.

Names are imported when they are first used; a signature, a fingerprint and ``verify`` need
``pip install "safelatent[provenance]"``.
"""
