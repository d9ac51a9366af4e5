"""image.* and blob.put: images that a client brings, and what the location has."""

from collections.abc import Mapping

from tflocation.commands.call import Body, Call, Handler, Services


async def find(services: Services, call: Call) -> Body:
    """Look an image up among those that the location has."""
    return {"image": await services.images.find(call.parameters["name"], call.account)}


async def describe(services: Services, call: Call) -> Body:
    """Tell an image's OCI configuration."""
    digest, config = await services.images.config(call.parameters["image"], call.account)
    return {"digest": digest, "config": config}


async def pull(services: Services, call: Call) -> Body:
    """Look an image up among those that the location has, and then at its registries."""
    return {"image": await services.images.resolve(call.parameters["name"], call.account)}


async def offer(services: Services, call: Call) -> Body:
    """Tell which blobs of an image must be sent."""
    parameters = call.parameters
    missing = await services.images.offer(parameters["config"], parameters["manifest"], parameters["names"])
    return {"missing": missing}


async def put_blob(services: Services, call: Call) -> None:
    """Take one blob, from where an earlier upload of it ended; verified at its end."""
    writer = await services.images.writer(call.parameters["digest"], call.parameters["size"], call.account)
    try:
        call.reply({"offset": writer.offset})
        async for chunk in call.chunks():
            writer.write(chunk)
        await writer.finish()
    finally:
        writer.close()


async def commit(services: Services, call: Call) -> Body:
    """Make an image of the blobs that were sent."""
    parameters = call.parameters
    digest = await services.images.commit(
        parameters["config"], parameters["manifest"], parameters["names"], call.account
    )
    return {"image": digest}


async def list_images(services: Services, call: Call) -> Body:
    """Tell the images that the account may use."""
    images = await services.images.list(call.account)
    return {
        "images": [
            {"digest": image.digest, "names": list(image.names), "size": image.size} for image in images
        ]
    }


async def destroy(services: Services, call: Call) -> Body:
    """Destroy an image that is the account's alone."""
    await services.images.destroy(call.parameters["image"], call.account)
    return {}


HANDLERS: Mapping[str, Handler] = {
    "image.find": find,
    "image.pull": pull,
    "image.describe": describe,
    "image.offer": offer,
    "blob.put": put_blob,
    "image.commit": commit,
    "image.list": list_images,
    "image.destroy": destroy,
}
