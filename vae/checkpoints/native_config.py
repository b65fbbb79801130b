"""config.json as an auto-encoder's own makers have it, where that is not diffusers' way."""


def published_name(entries: object) -> str | None:
    """The name of a deep-compression auto-encoder, where that is all that its config says, as in MIT's repositories.
    The network is then what its tensors show."""
    name = entries.get("model_name") if isinstance(entries, dict) and "_class_name" not in entries else None
    return name if isinstance(name, str) and name.startswith("dc-ae-") else None


def as_diffusers(entries: object) -> object:
    """The config of HunyuanImage 2.1's own repository as diffusers has it; any other as it is. It is known by a field
    that the videos' auto-encoders, whose classes end in 3D, have too."""
    if not isinstance(entries, dict) or "ffactor_spatial" not in entries:
        return entries
    if str(entries.get("_class_name")).endswith("3D"):
        return entries
    theirs = {"_class_name": "AutoencoderKLHunyuanImage", "spatial_compression_ratio": entries["ffactor_spatial"]}
    return entries | theirs
